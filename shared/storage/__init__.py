"""The only room that speaks to Azure Storage."""
