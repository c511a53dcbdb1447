// What `azd up` takes: the profile that ROLLCALL_PROFILE names (azd env set ROLLCALL_PROFILE standard), small without it.
using 'main.bicep'

import { chosen } from 'modules/profiles.bicep'

param environmentName = readEnvironmentVariable('AZURE_ENV_NAME', 'rollcall')
param location = readEnvironmentVariable('AZURE_LOCATION', 'westeurope')
param authClientId = readEnvironmentVariable('ROLLCALL_AUTH_CLIENT_ID', '')
param options = chosen(
  readEnvironmentVariable('ROLLCALL_PROFILE', 'small'),
  readEnvironmentVariable('ROLLCALL_ALERT_EMAIL', ''),
  readEnvironmentVariable('ROLLCALL_OPERATOR_ID', ''),
  readEnvironmentVariable('ROLLCALL_BUDGET_START', '')
)
