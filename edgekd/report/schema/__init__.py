"""The report as a versioned, closed document, `report.Report`: all that any of its forms shows."""
