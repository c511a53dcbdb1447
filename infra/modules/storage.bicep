// Two accounts: what the Functions host needs (package, locks, keys of functions), and the data, with fewer rights to each.
@description('Name of the host\'s account.')
@minLength(3)
@maxLength(24)
param hostName string

@description('Name of the data account.')
@minLength(3)
@maxLength(24)
param dataName string

@description('Azure region.')
param location string

@description('Tags.')
param tags object

@description('No access from public networks.')
param privateNetwork bool

@description('Copies in three zones instead of one.')
param zoneRedundant bool

// As shared/names.py has them; tests/infra compares.
var tableNames = ['Config', 'Schedule', 'State', 'Records', 'Lookup', 'OutOfScope', 'Changes', 'Tombstones', 'Holds', 'Audit', 'Mappings', 'Plans']
var queueNames = ['rollcall-cloud', 'rollcall-cloud-poison', 'rollcall-actions', 'rollcall-actions-poison']

var locked = {
  allowBlobPublicAccess: false
  allowCrossTenantReplication: false
  allowSharedKeyAccess: false
  defaultToOAuthAuthentication: true
  minimumTlsVersion: 'TLS1_2'
  supportsHttpsTrafficOnly: true
  publicNetworkAccess: privateNetwork ? 'Disabled' : 'Enabled'
  networkAcls: { bypass: 'None', defaultAction: privateNetwork ? 'Deny' : 'Allow' }
}

resource host 'Microsoft.Storage/storageAccounts@2025-06-01' = {
  name: hostName
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: { name: zoneRedundant ? 'Standard_ZRS' : 'Standard_LRS' }
  properties: locked

  resource blobs 'blobServices' = {
    name: 'default'

    resource packages 'containers' = {
      name: 'packages'
      properties: { publicAccess: 'None' }
    }
  }
}

resource data 'Microsoft.Storage/storageAccounts@2025-06-01' = {
  name: dataName
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: { name: zoneRedundant ? 'Standard_ZRS' : 'Standard_LRS' }
  properties: locked

  resource queueService 'queueServices' = {
    name: 'default'

    resource queues 'queues' = [for name in queueNames: { name: name }]
  }

  resource tableService 'tableServices' = {
    name: 'default'

    resource tables 'tables' = [for name in tableNames: { name: name }]
  }
}

@description('Name of the host\'s account.')
output hostName string = host.name

@description('Name of the data account.')
output dataName string = data.name
