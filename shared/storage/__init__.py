"""The only package that speaks to Azure Storage."""
