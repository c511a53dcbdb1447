// Nothing reachable from public networks but the guarded API; three zones; every access to the tables logged.
using 'main.bicep'

param environmentName = readEnvironmentVariable('AZURE_ENV_NAME', 'rollcall')
param location = readEnvironmentVariable('AZURE_LOCATION', 'westeurope')
param authClientId = readEnvironmentVariable('ROLLCALL_AUTH_CLIENT_ID', '')
param options = {
  zoneRedundant: true
  privateNetwork: true
  addressPrefix: '10.60.0.0/24'
  alwaysReadyHttp: 1
  logRetentionDays: 365
  logDailyQuotaGb: 5
  diagnosticsOnStorage: true
  alertEmails: empty(readEnvironmentVariable('ROLLCALL_ALERT_EMAIL', '')) ? [] : [readEnvironmentVariable('ROLLCALL_ALERT_EMAIL', '')]
  monthlyBudget: 500
  budgetStart: readEnvironmentVariable('ROLLCALL_BUDGET_START', '')
  operatorPrincipalId: readEnvironmentVariable('ROLLCALL_OPERATOR_ID', '')
  operatorPrincipalType: 'Group'
}
