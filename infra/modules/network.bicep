// A private network: storage and vault answer in it and nowhere else. For each service that a setting of the app points at there
// is an endpoint, a zone and the zone's link; with an endpoint for blobs alone the host dies on its queues.
@description('Makes names unique.')
param token string

@description('Azure region.')
param location string

@description('Tags.')
param tags object

@description('Address space, at least /24.')
param addressPrefix string

@description('The host\'s account.')
param hostAccountName string

@description('The data account.')
param dataAccountName string

@description('The vault.')
param vaultName string

resource host 'Microsoft.Storage/storageAccounts@2025-06-01' existing = { name: hostAccountName }
resource data 'Microsoft.Storage/storageAccounts@2025-06-01' existing = { name: dataAccountName }
resource vault 'Microsoft.KeyVault/vaults@2024-11-01' existing = { name: vaultName }

var endpoints = [
  { name: 'host-blob', target: host.id, group: 'blob', zone: 0 }
  { name: 'host-queue', target: host.id, group: 'queue', zone: 1 }
  { name: 'host-table', target: host.id, group: 'table', zone: 2 }
  { name: 'data-queue', target: data.id, group: 'queue', zone: 1 }
  { name: 'data-table', target: data.id, group: 'table', zone: 2 }
  { name: 'vault', target: vault.id, group: 'vault', zone: 3 }
]
var zoneNames = [
  'privatelink.blob.${environment().suffixes.storage}'
  'privatelink.queue.${environment().suffixes.storage}'
  'privatelink.table.${environment().suffixes.storage}'
  'privatelink${replace(environment().suffixes.keyvaultDns, '.vault.', '.vaultcore.')}'
]

resource network 'Microsoft.Network/virtualNetworks@2025-05-01' = {
  name: 'vnet-rollcall-${token}'
  location: location
  tags: tags
  properties: {
    addressSpace: { addressPrefixes: [addressPrefix] }
    subnets: [
      {
        name: 'app'
        properties: {
          addressPrefix: cidrSubnet(addressPrefix, 26, 0)
          delegations: [{ name: 'flex', properties: { serviceName: 'Microsoft.App/environments' } }]
        }
      }
      {
        name: 'endpoints'
        properties: {
          addressPrefix: cidrSubnet(addressPrefix, 26, 1)
          privateEndpointNetworkPolicies: 'Disabled'
        }
      }
    ]
  }

  resource appSubnet 'subnets' existing = { name: 'app' }
  resource endpointSubnet 'subnets' existing = { name: 'endpoints' }
}

resource zones 'Microsoft.Network/privateDnsZones@2024-06-01' = [
  for name in zoneNames: {
    name: name
    location: 'global'
    tags: tags
  }
]

resource links 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = [
  for (name, number) in zoneNames: {
    parent: zones[number]
    name: 'rollcall-${token}'
    location: 'global'
    tags: tags
    properties: { registrationEnabled: false, virtualNetwork: { id: network.id } }
  }
]

resource privateEndpoints 'Microsoft.Network/privateEndpoints@2025-05-01' = [
  for endpoint in endpoints: {
    name: 'pe-${endpoint.name}-${token}'
    location: location
    tags: tags
    properties: {
      subnet: { id: network::endpointSubnet.id }
      privateLinkServiceConnections: [
        {
          name: endpoint.name
          properties: { privateLinkServiceId: endpoint.target, groupIds: [endpoint.group] }
        }
      ]
    }
  }
]

resource zoneGroups 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2025-05-01' = [
  for (endpoint, number) in endpoints: {
    parent: privateEndpoints[number]
    name: 'default'
    properties: {
      privateDnsZoneConfigs: [{ name: endpoint.group, properties: { privateDnsZoneId: zones[endpoint.zone].id } }]
    }
  }
]

@description('Where the app\'s outbound traffic begins.')
output appSubnetId string = network::appSubnet.id
