// What an owner may choose. One type, so that main.bicep passes on every option there is.

@export()
@description('Options of an installation.')
type rollcallOptions = {
  @description('Python of the function app. Default 3.13.')
  pythonVersion: '3.13' | '3.14'?

  @description('Memory of an instance in MB. 512 is enough for some 50,000 people. Default 2048.')
  instanceMemoryMB: 512 | 2048 | 4096?

  @description('Most instances at a time. Default 40.')
  @minValue(1)
  @maxValue(1000)
  maximumInstanceCount: int?

  @description('Instances for HTTP that are always there; each costs money all the time. Default 0.')
  @minValue(0)
  @maxValue(20)
  alwaysReadyHttp: int?

  @description('Spreads storage and the app over availability zones. Default false.')
  zoneRedundant: bool?

  @description('Private endpoints for storage and vault, no public access to them. Default false.')
  privateNetwork: bool?

  @description('Address space of the private network, at least /24. Default 10.60.0.0/24.')
  addressPrefix: string?

  @description('Days for which logs are kept. Default 30.')
  @minValue(30)
  @maxValue(730)
  logRetentionDays: int?

  @description('GB of logs a day at most. Default 1.')
  @minValue(1)
  logDailyQuotaGb: int?

  @description('Logs each access to storage. Default false: there are many.')
  diagnosticsOnStorage: bool?

  @description('Who gets alerts. Empty: alerts fire and nobody is told.')
  alertEmails: string[]?

  @description('all, or few: failed runs, no success in a day, expiring credentials. Default all.')
  alerts: 'all' | 'few'?

  @description('USD a month above which budgetEmails are told. 0: no budget. Default 0.')
  @minValue(0)
  monthlyBudget: int?

  @description('First day of the budget, YYYY-MM-01. It can\'t be changed later: the preprovision guard keeps the one that is there.')
  budgetStart: string?

  @description('Locks the data account and the vault against deletion. Default true.')
  protectData: bool?

  @description('Object id of a user, group or service principal that operates the installation. Empty: nobody gets roles.')
  operatorPrincipalId: string?

  @description('What that is. Default Group.')
  operatorPrincipalType: 'User' | 'Group' | 'ServicePrincipal'?

  @description('Whether the API may write secrets into the vault. false: somebody else puts them there. Default true.')
  apiWritesSecrets: bool?

  @description('Tenants besides this one whose people and applications may sign in.')
  moreTenants: string[]?

  @description('App settings of Rollcall that differ from their defaults, such as ROLLCALL_KEEP_RUNS_DAYS.')
  settings: rollcallSettings?
}

@export()
@description('Settings of the app; README lists them with their defaults.')
type rollcallSettings = {
  @description('Schedule of the timer.')
  ROLLCALL_TICK: string?

  @description('Seconds of one slice of a run.')
  ROLLCALL_SLICE_SECONDS: string?

  @description('Seconds of one request.')
  ROLLCALL_REQUEST_SECONDS: string?

  @description('Days of runs.')
  ROLLCALL_KEEP_RUNS_DAYS: string?

  @description('Days of tombstones.')
  ROLLCALL_KEEP_TOMBSTONES_DAYS: string?

  @description('Days of held removals.')
  ROLLCALL_KEEP_HOLDS_DAYS: string?

  @description('Days of the journal.')
  ROLLCALL_KEEP_JOURNAL_DAYS: string?

  @description('Days of the audit trail.')
  ROLLCALL_KEEP_AUDIT_DAYS: string?
}
