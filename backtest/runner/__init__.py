"""Where strategy, candles and engine meet."""
