// One connector's app registration in the tenant that it reads, signed in to by the function app's identity, without a secret. Run it
// apart, by somebody who may consent (Privileged Role Administrator): az deployment group create ...
extension microsoftGraphV1

@description('Unique in the tenant.')
param uniqueName string

@description('Shown in Entra.')
param displayName string = 'Rollcall connector'

@description('Object id of the function app\'s identity (output ROLLCALL_IDENTITY_PRINCIPAL_ID).')
param identityPrincipalId string

@description('Application permissions of Microsoft Graph, as GET /api/v1/connectors/ID/permissions lists them.')
param permissions string[] = ['User.Read.All', 'Device.Read.All', 'AuditLog.Read.All', 'Organization.Read.All']

var graphAppId = '00000003-0000-0000-c000-000000000000'

resource graph 'Microsoft.Graph/servicePrincipals@v1.0' existing = { appId: graphAppId }

resource registration 'Microsoft.Graph/applications@v1.0' = {
  uniqueName: uniqueName
  displayName: displayName
  signInAudience: 'AzureADMyOrg'
}

resource federation 'Microsoft.Graph/applications/federatedIdentityCredentials@v1.0' = {
  name: '${uniqueName}/rollcall'
  audiences: ['api://AzureADTokenExchange']
  // Compared letter by letter: the tenant id in lower case, as Entra writes it.
  issuer: '${environment().authentication.loginEndpoint}${toLower(tenant().tenantId)}/v2.0'
  subject: identityPrincipalId
  dependsOn: [registration]
}

resource principal 'Microsoft.Graph/servicePrincipals@v1.0' = {
  appId: registration.appId
}

resource grants 'Microsoft.Graph/appRoleAssignedTo@v1.0' = [
  for permission in permissions: {
    appRoleId: filter(graph.appRoles, role => role.value == permission)[0].id
    principalId: principal.id
    resourceId: graph.id
  }
]

@description('Client id for the credential of the type federated.')
output clientId string = registration.appId
