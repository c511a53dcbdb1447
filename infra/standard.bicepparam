// For most owners: all alerts, a budget, an operator group.
using 'main.bicep'

param environmentName = readEnvironmentVariable('AZURE_ENV_NAME', 'rollcall')
param location = readEnvironmentVariable('AZURE_LOCATION', 'westeurope')
param authClientId = readEnvironmentVariable('ROLLCALL_AUTH_CLIENT_ID', '')
param options = {
  logRetentionDays: 90
  alertEmails: empty(readEnvironmentVariable('ROLLCALL_ALERT_EMAIL', '')) ? [] : [readEnvironmentVariable('ROLLCALL_ALERT_EMAIL', '')]
  monthlyBudget: 100
  budgetStart: readEnvironmentVariable('ROLLCALL_BUDGET_START', '')
  operatorPrincipalId: readEnvironmentVariable('ROLLCALL_OPERATOR_ID', '')
  operatorPrincipalType: 'Group'
}
