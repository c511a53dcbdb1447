"""The only room that speaks to Microsoft Graph and to Entra's token endpoint."""
