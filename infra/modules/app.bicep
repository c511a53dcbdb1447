// The function app on Flex Consumption, guarded by App Service authentication, without a key or a secret anywhere.
@description('Makes names unique.')
param token string

@description('Azure region.')
param location string

@description('Tags.')
param tags object

@description('Resource id of the app\'s identity.')
param identityId string

@description('Client id of the app\'s identity.')
param identityClientId string

@description('The host\'s account.')
param hostAccountName string

@description('The data account.')
param dataAccountName string

@description('Address of the vault.')
param vaultUri string

@description('Application Insights.')
param insightsName string

@description('Client id of the app registration that guards the API.')
param authClientId string

@description('What a token may be issued for.')
param audiences string[]

@description('Tenants besides this one.')
param moreTenants string[]

@description('Version of Python.')
@allowed(['3.13', '3.14'])
param pythonVersion string

@description('Memory of an instance.')
@allowed([512, 2048, 4096])
param instanceMemoryMB int

@description('Most instances at a time.')
@minValue(1)
@maxValue(1000)
param maximumInstanceCount int

@description('Instances for HTTP that are always there.')
@minValue(0)
@maxValue(20)
param alwaysReadyHttp int

@description('Spreads instances over zones.')
param zoneRedundant bool

@description('Subnet for outbound traffic; empty: none.')
param subnetId string

@description('App settings that differ from their defaults.')
param settings object

var defaults = {
  ROLLCALL_TICK: '0 */5 * * * *'
  ROLLCALL_SLICE_SECONDS: '480'
  ROLLCALL_REQUEST_SECONDS: '20'
  ROLLCALL_KEEP_RUNS_DAYS: '90'
  ROLLCALL_KEEP_TOMBSTONES_DAYS: '365'
  ROLLCALL_KEEP_HOLDS_DAYS: '90'
  ROLLCALL_KEEP_JOURNAL_DAYS: '400'
  ROLLCALL_KEEP_AUDIT_DAYS: '400'
}
var tenants = union([tenant().tenantId], moreTenants)

resource host 'Microsoft.Storage/storageAccounts@2025-06-01' existing = { name: hostAccountName }
resource data 'Microsoft.Storage/storageAccounts@2025-06-01' existing = { name: dataAccountName }
resource insights 'Microsoft.Insights/components@2020-02-02' existing = { name: insightsName }

resource plan 'Microsoft.Web/serverfarms@2025-03-01' = {
  name: 'plan-rollcall-${token}'
  location: location
  tags: tags
  kind: 'functionapp'
  sku: { name: 'FC1', tier: 'FlexConsumption' }
  properties: { reserved: true, zoneRedundant: zoneRedundant }
}

resource site 'Microsoft.Web/sites@2025-03-01' = {
  name: 'func-rollcall-${token}'
  location: location
  tags: union(tags, { 'azd-service-name': 'api' })
  kind: 'functionapp,linux'
  identity: { type: 'UserAssigned', userAssignedIdentities: { '${identityId}': {} } }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    publicNetworkAccess: 'Enabled'
    virtualNetworkSubnetId: empty(subnetId) ? null : subnetId
    keyVaultReferenceIdentity: identityId
    siteConfig: { minTlsVersion: '1.2', scmMinTlsVersion: '1.2', ftpsState: 'Disabled', http20Enabled: true }
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: '${host.properties.primaryEndpoints.blob}packages'
          authentication: { type: 'UserAssignedIdentity', userAssignedIdentityResourceId: identityId }
        }
      }
      runtime: { name: 'python', version: pythonVersion }
      scaleAndConcurrency: {
        instanceMemoryMB: instanceMemoryMB
        maximumInstanceCount: maximumInstanceCount
        alwaysReady: alwaysReadyHttp > 0 ? [{ name: 'http', instanceCount: alwaysReadyHttp }] : []
        triggers: { http: { perInstanceConcurrency: 16 } }
      }
    }
  }

  resource appSettings 'config' = {
    name: 'appsettings'
    properties: union(defaults, settings, {
      AzureWebJobsStorage__credential: 'managedidentity'
      AzureWebJobsStorage__clientId: identityClientId
      AzureWebJobsStorage__blobServiceUri: host.properties.primaryEndpoints.blob
      AzureWebJobsStorage__queueServiceUri: host.properties.primaryEndpoints.queue
      AzureWebJobsStorage__tableServiceUri: host.properties.primaryEndpoints.table
      RollcallStorage__credential: 'managedidentity'
      RollcallStorage__clientId: identityClientId
      RollcallStorage__queueServiceUri: data.properties.primaryEndpoints.queue
      RollcallStorage__tableServiceUri: data.properties.primaryEndpoints.table
      ROLLCALL_VAULT_URI: vaultUri
      ROLLCALL_TENANTS: join(tenants, ',')
      AZURE_CLIENT_ID: identityClientId
      APPLICATIONINSIGHTS_CONNECTION_STRING: insights.properties.ConnectionString
      APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${identityClientId};Authorization=AAD'
      WEBSITE_AUTH_AAD_ALLOWED_TENANTS: join(tenants, ',')
    })
  }

  resource auth 'config' = {
    name: 'authsettingsV2'
    properties: {
      platform: { enabled: true, runtimeVersion: '~1' }
      globalValidation: {
        requireAuthentication: true
        unauthenticatedClientAction: 'Return401'
        excludedPaths: ['/api/v1/health']
      }
      httpSettings: { requireHttps: true }
      identityProviders: {
        azureActiveDirectory: {
          enabled: true
          registration: {
            clientId: authClientId
            openIdIssuer: '${environment().authentication.loginEndpoint}${tenant().tenantId}/v2.0'
          }
          validation: { allowedAudiences: audiences }
        }
      }
      login: { tokenStore: { enabled: false } }
    }
    dependsOn: [site::appSettings] // two writes of a site's configuration at a time clash
  }

  resource ftp 'basicPublishingCredentialsPolicies' = {
    name: 'ftp'
    properties: { allow: false }
  }

  resource scm 'basicPublishingCredentialsPolicies' = {
    name: 'scm'
    properties: { allow: false }
  }
}

@description('Its name.')
output name string = site.name

@description('Its address.')
output url string = 'https://${site.properties.defaultHostName}/api/v1'
