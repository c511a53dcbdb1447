// Against accidents: locks on what can't be made again, and a budget.
@description('The data account.')
param dataAccountName string

@description('The vault.')
param vaultName string

@description('Whether both are locked against deletion.')
param protectData bool

@description('USD a month; 0: no budget.')
@minValue(0)
param monthlyBudget int

@description('First day of the budget, YYYY-MM-01; empty: this month.')
param budgetStart string

@description('Who is told that it is used up; empty: the owners of the subscription.')
param budgetEmails string[]

@description('This month; never given.')
param thisMonth string = utcNow('yyyy-MM-01')

resource data 'Microsoft.Storage/storageAccounts@2025-06-01' existing = { name: dataAccountName }
resource vault 'Microsoft.KeyVault/vaults@2024-11-01' existing = { name: vaultName }

resource dataLock 'Microsoft.Authorization/locks@2020-05-01' = if (protectData) {
  name: 'rollcall-data'
  scope: data
  properties: { level: 'CanNotDelete', notes: 'Holds the directory and its history. Remove this lock to delete the installation.' }
}

resource vaultLock 'Microsoft.Authorization/locks@2020-05-01' = if (protectData) {
  name: 'rollcall-vault'
  scope: vault
  properties: { level: 'CanNotDelete', notes: 'Holds every secret. Remove this lock to delete the installation.' }
}

var contacts = empty(budgetEmails) ? { contactRoles: ['Owner'], contactEmails: [] } : { contactEmails: budgetEmails }

resource budget 'Microsoft.Consumption/budgets@2024-08-01' = if (monthlyBudget > 0) {
  name: 'rollcall'
  properties: {
    category: 'Cost'
    amount: monthlyBudget
    timeGrain: 'Monthly'
    timePeriod: { startDate: empty(budgetStart) ? thisMonth : budgetStart }
    notifications: {
      eighty: union({ enabled: true, operator: 'GreaterThan', threshold: 80, thresholdType: 'Actual' }, contacts)
      forecast: union({ enabled: true, operator: 'GreaterThan', threshold: 100, thresholdType: 'Forecasted' }, contacts)
    }
  }
}
