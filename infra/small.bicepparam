// The profile small of modules/profiles.bicep.
using 'main.bicep'

import { chosen } from 'modules/profiles.bicep'

param environmentName = readEnvironmentVariable('AZURE_ENV_NAME', 'rollcall')
param location = readEnvironmentVariable('AZURE_LOCATION', 'westeurope')
param authClientId = readEnvironmentVariable('ROLLCALL_AUTH_CLIENT_ID', '')
param options = chosen(
  'small',
  readEnvironmentVariable('ROLLCALL_ALERT_EMAIL', ''),
  readEnvironmentVariable('ROLLCALL_OPERATOR_ID', ''),
  readEnvironmentVariable('ROLLCALL_BUDGET_START', '')
)
