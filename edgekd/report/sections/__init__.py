"""The report's sections in words, figures and tables, before any format."""
