"""What every test shares."""

from __future__ import annotations

import os

# Most tests look at a run's figures, not at its strategy: those of the checks ask for them. No test writes a ledger.
os.environ.setdefault("BACKTEST_CHECKS", "off")
os.environ.setdefault("BACKTEST_TRIALS", "off")
