// Idle under 3 USD a month: small instances, few alerts.
using 'main.bicep'

param environmentName = readEnvironmentVariable('AZURE_ENV_NAME', 'rollcall')
param location = readEnvironmentVariable('AZURE_LOCATION', 'westeurope')
param authClientId = readEnvironmentVariable('ROLLCALL_AUTH_CLIENT_ID', '')
param options = {
  instanceMemoryMB: 512
  maximumInstanceCount: 5
  alerts: 'few'
  alertEmails: empty(readEnvironmentVariable('ROLLCALL_ALERT_EMAIL', '')) ? [] : [readEnvironmentVariable('ROLLCALL_ALERT_EMAIL', '')]
}
