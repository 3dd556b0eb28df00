"""The dashboard: one page over the journal of an emission, in a process of its own that only reads."""
