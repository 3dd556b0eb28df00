"""Values: valid, or not there. Standard library, numpy and pydantic only."""
