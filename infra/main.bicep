// Everything that Rollcall needs, in a resource group of its own. `azd up` deploys it, or
// az deployment sub create --location LOCATION --template-file infra/main.bicep --parameters infra/small.bicepparam
targetScope = 'subscription'

@description('Tells this installation from others of the subscription. Only tags hold it, and the hash in all names is made of it.')
@minLength(1)
@maxLength(64)
param environmentName string

@description('Azure region of everything.')
@metadata({ azd: { type: 'location' } })
param location string

@description('Client id of an app registration that exists and has the four app roles. Empty: one is made, which needs the Entra role Application Developer.')
param authClientId string = ''

@description('Options of modules/rollcall.bicep, which describes them. What is not given has its default there.')
param options rollcallOptions = {}

import { rollcallOptions } from 'modules/options.bicep'

var token = uniqueString(subscription().id, environmentName, location)
var tags = { 'azd-env-name': environmentName, application: 'rollcall' }
var audience = 'api://rollcall-${token}'

resource group 'Microsoft.Resources/resourceGroups@2025-04-01' = {
  name: 'rg-rollcall-${token}'
  location: location
  tags: tags
}

module entra 'modules/entra.bicep' = if (empty(authClientId)) {
  name: 'rollcall-entra'
  scope: group
  params: {
    uniqueName: 'rollcall-${token}'
    audience: audience
  }
}

module rollcall 'modules/rollcall.bicep' = {
  name: 'rollcall'
  scope: group
  params: {
    token: token
    location: location
    tags: tags
    authClientId: empty(authClientId) ? entra!.outputs.clientId : authClientId
    audiences: empty(authClientId) ? [audience] : ['api://${authClientId}', authClientId]
    options: options
  }
}

@description('Name of the function app, which azd publishes to.')
output AZURE_FUNCTION_NAME string = rollcall.outputs.functionName

@description('Resource group of everything.')
output AZURE_RESOURCE_GROUP string = group.name

@description('Address of the API.')
output ROLLCALL_API_URL string = rollcall.outputs.apiUrl

@description('What callers ask a token for.')
output ROLLCALL_AUDIENCE string = empty(authClientId) ? audience : 'api://${authClientId}'

@description('Address of the vault.')
output ROLLCALL_VAULT_URI string = rollcall.outputs.vaultUri

@description('Client id of the function app\'s identity, for credentials of the type managed-identity.')
output ROLLCALL_IDENTITY_CLIENT_ID string = rollcall.outputs.identityClientId

@description('Object id of the function app\'s identity: the subject of federated credentials.')
output ROLLCALL_IDENTITY_PRINCIPAL_ID string = rollcall.outputs.identityPrincipalId
