// One installation in one resource group. Deployable alone, where the group and the app registration exist:
// az deployment group create --resource-group GROUP --template-file infra/modules/rollcall.bicep --parameters ...
import { rollcallOptions } from 'options.bicep'

@description('13 characters that make global names unique.')
@minLength(13)
@maxLength(13)
param token string

@description('Azure region of everything.')
param location string = resourceGroup().location

@description('Tags of every resource.')
param tags object = {}

@description('Client id of the app registration that guards the API.')
param authClientId string

@description('What a token may be issued for.')
param audiences string[] = ['api://${authClientId}']

@description('What the owner chose.')
param options rollcallOptions = {}

var privateNetwork = options.?privateNetwork ?? false
var zoneRedundant = options.?zoneRedundant ?? false

module identity 'identity.bicep' = {
  name: 'rollcall-identity'
  params: { name: 'id-rollcall-${token}', location: location, tags: tags }
}

module storage 'storage.bicep' = {
  name: 'rollcall-storage'
  params: {
    hostName: 'sth${token}'
    dataName: 'std${token}'
    location: location
    tags: tags
    privateNetwork: privateNetwork
    zoneRedundant: zoneRedundant
  }
}

module vault 'vault.bicep' = {
  name: 'rollcall-vault'
  params: { name: 'kv-${token}', location: location, tags: tags, privateNetwork: privateNetwork }
}

module monitoring 'monitoring.bicep' = {
  name: 'rollcall-monitoring'
  params: {
    token: token
    location: location
    tags: tags
    retentionDays: options.?logRetentionDays ?? 30
    dailyQuotaGb: options.?logDailyQuotaGb ?? 1
    alertEmails: options.?alertEmails ?? []
    vaultName: vault.outputs.name
    dataAccountName: storage.outputs.dataName
    diagnosticsOnStorage: options.?diagnosticsOnStorage ?? false
  }
}

module access 'access.bicep' = {
  name: 'rollcall-access'
  params: {
    principalId: identity.outputs.principalId
    hostAccountName: storage.outputs.hostName
    dataAccountName: storage.outputs.dataName
    vaultName: vault.outputs.name
    insightsName: monitoring.outputs.insightsName
    apiWritesSecrets: options.?apiWritesSecrets ?? true
    operatorPrincipalId: options.?operatorPrincipalId ?? ''
    operatorPrincipalType: options.?operatorPrincipalType ?? 'Group'
  }
}

module network 'network.bicep' = if (privateNetwork) {
  name: 'rollcall-network'
  params: {
    token: token
    location: location
    tags: tags
    addressPrefix: options.?addressPrefix ?? '10.60.0.0/24'
    hostAccountName: storage.outputs.hostName
    dataAccountName: storage.outputs.dataName
    vaultName: vault.outputs.name
  }
}

module app 'app.bicep' = {
  name: 'rollcall-app'
  params: {
    token: token
    location: location
    tags: tags
    identityId: identity.outputs.id
    identityClientId: identity.outputs.clientId
    hostAccountName: storage.outputs.hostName
    dataAccountName: storage.outputs.dataName
    vaultUri: vault.outputs.uri
    insightsName: monitoring.outputs.insightsName
    authClientId: authClientId
    audiences: audiences
    moreTenants: options.?moreTenants ?? []
    pythonVersion: options.?pythonVersion ?? '3.13'
    instanceMemoryMB: options.?instanceMemoryMB ?? 2048
    maximumInstanceCount: options.?maximumInstanceCount ?? 40
    alwaysReadyHttp: options.?alwaysReadyHttp ?? 0
    zoneRedundant: zoneRedundant
    subnetId: privateNetwork ? network!.outputs.appSubnetId : ''
    settings: options.?settings ?? {}
  }
  dependsOn: [access] // a site that starts before its roles act can't read its own package
}

module alerts 'alerts.bicep' = {
  name: 'rollcall-alerts'
  params: {
    token: token
    location: location
    tags: tags
    workspaceId: monitoring.outputs.workspaceId
    actionGroupId: monitoring.outputs.actionGroupId
    siteName: app.outputs.name
    vaultName: vault.outputs.name
    which: options.?alerts ?? 'all'
  }
}

module protection 'protection.bicep' = {
  name: 'rollcall-protection'
  params: {
    dataAccountName: storage.outputs.dataName
    vaultName: vault.outputs.name
    protectData: options.?protectData ?? true
    monthlyBudget: options.?monthlyBudget ?? 0
    budgetStart: options.?budgetStart ?? ''
    budgetEmails: options.?alertEmails ?? []
  }
}

@description('Name of the function app.')
output functionName string = app.outputs.name

@description('Address of the API.')
output apiUrl string = app.outputs.url

@description('Address of the vault.')
output vaultUri string = vault.outputs.uri

@description('Client id of the function app\'s identity.')
output identityClientId string = identity.outputs.clientId

@description('Object id of the function app\'s identity.')
output identityPrincipalId string = identity.outputs.principalId
