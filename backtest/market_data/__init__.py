"""The outside world of candles: files, the store, exchanges, quality checks and the sample."""
