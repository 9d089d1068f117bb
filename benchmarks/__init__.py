"""What is measured, and how: experiments, harness, store and command line. Runs from the checkout."""
