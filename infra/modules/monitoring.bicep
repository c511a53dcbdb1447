// Logs, without keys: only who has a role may write or read them.
@description('Makes names unique.')
param token string

@description('Azure region.')
param location string

@description('Tags.')
param tags object

@description('Days for which logs are kept.')
@minValue(30)
@maxValue(730)
param retentionDays int

@description('GB a day at most.')
@minValue(1)
param dailyQuotaGb int

@description('Who is told of alerts.')
param alertEmails string[]

@description('The vault, whose every access is logged.')
param vaultName string

@description('The data account.')
param dataAccountName string

@description('Logs each access to the data account.')
param diagnosticsOnStorage bool

resource workspace 'Microsoft.OperationalInsights/workspaces@2025-02-01' = {
  name: 'log-rollcall-${token}'
  location: location
  tags: tags
  properties: {
    sku: { name: 'PerGB2018' }
    retentionInDays: retentionDays
    workspaceCapping: { dailyQuotaGb: dailyQuotaGb }
    features: { disableLocalAuth: true }
  }
}

resource insights 'Microsoft.Insights/components@2020-02-02' = {
  name: 'appi-rollcall-${token}'
  location: location
  tags: tags
  kind: 'web'
  properties: { Application_Type: 'web', WorkspaceResourceId: workspace.id, DisableLocalAuth: true }
}

resource operators 'Microsoft.Insights/actionGroups@2023-01-01' = {
  name: 'ag-rollcall-${token}'
  location: 'global'
  tags: tags
  properties: {
    enabled: true
    groupShortName: 'rollcall'
    emailReceivers: [
      for (address, number) in alertEmails: {
        name: 'mail-${number}'
        emailAddress: address
        useCommonAlertSchema: true
      }
    ]
  }
}

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' existing = {
  name: vaultName
}

resource vaultLog 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'rollcall'
  scope: vault
  properties: {
    workspaceId: workspace.id
    logs: [{ category: 'AuditEvent', enabled: true }]
  }
}

resource data 'Microsoft.Storage/storageAccounts@2025-06-01' existing = {
  name: dataAccountName

  resource tableService 'tableServices' existing = { name: 'default' }
}

resource dataLog 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = if (diagnosticsOnStorage) {
  name: 'rollcall'
  scope: data::tableService
  properties: {
    workspaceId: workspace.id
    logs: [
      { category: 'StorageRead', enabled: true }
      { category: 'StorageWrite', enabled: true }
      { category: 'StorageDelete', enabled: true }
    ]
  }
}

@description('The workspace, which alerts ask.')
output workspaceId string = workspace.id

@description('Name of Application Insights.')
output insightsName string = insights.name

@description('Who is told.')
output actionGroupId string = operators.id
