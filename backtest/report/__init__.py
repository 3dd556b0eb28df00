"""What a run meant, drawn and written from its saved tables: statistics, charts, console, notebook and page."""
