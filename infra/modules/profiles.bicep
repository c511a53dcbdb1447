// Three ways to run Rollcall. A parameter file takes one and adds what is the owner's own.
import { rollcallOptions } from 'options.bicep'

@export()
@description('By name.')
var profiles = {
  // Idle under 3 USD a month: small instances, three alerts.
  small: {
    instanceMemoryMB: 512
    maximumInstanceCount: 5
    alerts: 'few'
  }
  // For most owners: all alerts, a budget.
  standard: {
    logRetentionDays: 90
    monthlyBudget: 100
  }
  // Nothing reachable from public networks but the guarded API; three zones; every access to the tables logged.
  private: {
    zoneRedundant: true
    privateNetwork: true
    alwaysReadyHttp: 1
    logRetentionDays: 365
    logDailyQuotaGb: 5
    diagnosticsOnStorage: true
    monthlyBudget: 500
  }
}

@export()
@description('A profile with what the owner said beside it; empty texts say nothing.')
func chosen(profile string, email string, operatorId string, budgetStart string) rollcallOptions =>
  union(
    profiles[profile],
    empty(email) ? {} : { alertEmails: [email] },
    empty(operatorId) ? {} : { operatorPrincipalId: operatorId },
    empty(budgetStart) ? {} : { budgetStart: budgetStart }
  )
