"""The report's figures: matplotlib draws them, the page gives them colour and font."""
