"""How numbers, figures and tables are printed and drawn, for every section of the page."""
