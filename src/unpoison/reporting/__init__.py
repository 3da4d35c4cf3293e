"""Pages and tables made from records, and pictures of what a purifier did."""
