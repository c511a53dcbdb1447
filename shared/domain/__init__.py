"""The words of the product as models: no I/O, no Azure."""
