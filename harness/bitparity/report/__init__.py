"""Reports of a comparison: terminal and HTML; the JSON and the DataFrame are the result's own."""
