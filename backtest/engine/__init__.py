"""The simulated venue: one compiled state machine for backtest, paper venue and live shadow book."""
