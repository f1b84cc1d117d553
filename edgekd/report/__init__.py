"""What a run found, as JSON, Markdown and one HTML file."""
