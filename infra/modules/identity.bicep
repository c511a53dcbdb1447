// The function app's identity. It exists before the app, so that its roles do too, and outlives it.
@description('Its name.')
param name string

@description('Azure region.')
param location string

@description('Tags.')
param tags object

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: name
  location: location
  tags: tags
}

@description('Resource id.')
output id string = identity.id

@description('Object id in Entra.')
output principalId string = identity.properties.principalId

@description('Client id.')
output clientId string = identity.properties.clientId
