"""The only package that speaks to Microsoft Graph and to Entra's token endpoint."""
