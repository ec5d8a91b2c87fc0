"""What stands on the pages: words, numbers, pictures, charts and formulas, apart from layout."""
