"""Both ends of the Signal API: the client that sends, and the paper venue that answers in the vendor's place."""
