"""The live room: a strategy's calls go out once, and what became of each is on disk before and after."""
