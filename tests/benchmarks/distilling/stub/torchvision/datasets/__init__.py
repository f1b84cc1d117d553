"""No data sets: the pictures lie in memory."""
