// The app registration that guards the API, with its four app roles. Of one tenant, without a secret.
extension microsoftGraphV1

@description('Unique in the tenant, for good: also the name of a deleted registration stays taken for 30 days.')
param uniqueName string

@description('What callers ask a token for.')
param audience string

var appRoles = [
  { value: 'Rollcall.Read', text: 'Read records, runs and the configuration.' }
  { value: 'Rollcall.Operate', text: 'Start and cancel runs, decide about held removals.' }
  { value: 'Rollcall.Configure', text: 'Change the configuration.' }
  { value: 'Rollcall.Act', text: 'Change people in the tenant, with the action credential.' }
]

var azureCli = '04b07795-8ddb-461a-bbee-02f9e1bf7b46' // the same in every tenant
var scopeId = guid(uniqueName, 'user_impersonation')

resource registration 'Microsoft.Graph/applications@v1.0' = {
  uniqueName: uniqueName
  displayName: 'Rollcall'
  signInAudience: 'AzureADMyOrg'
  identifierUris: [audience]
  api: {
    requestedAccessTokenVersion: 2
    oauth2PermissionScopes: [
      {
        id: scopeId
        value: 'user_impersonation'
        type: 'Admin'
        isEnabled: true
        adminConsentDisplayName: 'Use Rollcall as the person who is signed in'
        adminConsentDescription: 'What the person may do depends on their app roles.'
      }
    ]
    // Without it az gets no token for anybody (AADSTS65001). Who has no app role gets none with it either.
    preAuthorizedApplications: [{ appId: azureCli, delegatedPermissionIds: [scopeId] }]
  }
  appRoles: [
    for role in appRoles: {
      id: guid(uniqueName, role.value)
      value: role.value
      displayName: role.value
      description: role.text
      isEnabled: true
      allowedMemberTypes: ['User', 'Application']
    }
  ]
}

resource principal 'Microsoft.Graph/servicePrincipals@v1.0' = {
  appId: registration.appId
  appRoleAssignmentRequired: true
  tags: ['WindowsAzureActiveDirectoryIntegratedApp']
}

@description('Its client id.')
output clientId string = registration.appId

@description('Object id of the enterprise application, on which people get their app roles.')
output principalId string = principal.id
