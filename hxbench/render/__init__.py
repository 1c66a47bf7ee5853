"""Records and certificate in; notebooks, pages and files for other programs out."""
