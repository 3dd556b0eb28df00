"""Study: what many runs say together."""
