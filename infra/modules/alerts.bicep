// What somebody has to know of without looking. The queries parse the events of shared/events.py.
@description('Makes names unique.')
param token string

@description('Azure region.')
param location string

@description('Tags.')
param tags object

@description('The workspace that holds the logs.')
param workspaceId string

@description('Who is told.')
param actionGroupId string

@description('The function app.')
param siteName string

@description('The vault.')
param vaultName string

@description('all, or few.')
@allowed(['all', 'few'])
param which string

resource site 'Microsoft.Web/sites@2025-03-01' existing = { name: siteName }
resource vault 'Microsoft.KeyVault/vaults@2024-11-01' existing = { name: vaultName }

var events = 'AppTraces | where Message startswith \'{"event":\' | extend e = parse_json(Message) | extend event = tostring(e.event)'
var rules = [
  {
    name: 'run-failed'
    few: true
    severity: 2
    every: 'PT15M'
    window: 'PT15M'
    text: 'A run failed with what only a person can mend. The run names the cause and the remedy.'
    query: '${events} | where event == "run.failed" and not(tobool(e.transient)) | project TimeGenerated, connector = tostring(e.connector), job = tostring(e.job), run = tostring(e.run), code = tostring(e.code)'
  }
  {
    name: 'no-success'
    few: true
    severity: 2
    every: 'PT1H'
    window: 'P1D'
    text: 'A connector that is active had no successful run for 24 hours, or the timer that starts all runs is silent.'
    query: '${events} | where event == "connector.active" | summarize beats = count() by connector = tostring(e.connector), name = tostring(e.name) | where beats >= 20 | join kind=leftanti (${events} | where event == "run.succeeded" | summarize by connector = tostring(e.connector)) on connector | union (${events} | where event == "timer.ticked" | summarize beats = count() | where beats == 0 | extend name = "the timer is silent")'
  }
  {
    name: 'credential-expiring'
    few: true
    severity: 2
    every: 'P1D'
    window: 'P1D'
    text: 'A secret or certificate ends within 30 days.'
    query: '${events} | where event == "credential.expiring" and toint(e.daysLeft) <= 30 | project TimeGenerated, credential = tostring(e.credential), name = tostring(e.name), daysLeft = toint(e.daysLeft)'
  }
  {
    name: 'poison-message'
    few: false
    severity: 2
    every: 'PT15M'
    window: 'PT15M'
    text: 'A message failed five times.'
    query: '${events} | where event == "queue.poison" | project TimeGenerated, run = tostring(e.run), outcome = tostring(e.outcome)'
  }
  {
    name: 'removals-held'
    few: false
    severity: 3
    every: 'PT1H'
    window: 'PT1H'
    text: 'Removals wait for a person.'
    query: '${events} | where event == "run.held" and toint(e.held) > 0 | project TimeGenerated, connector = tostring(e.connector), run = tostring(e.run), held = toint(e.held)'
  }
  {
    name: 'graph-throttled'
    few: false
    severity: 3
    every: 'PT1H'
    window: 'PT1H'
    text: 'Runs waited for Microsoft Graph for more than ten minutes.'
    query: '${events} | where event == "graph.throttled" | summarize seconds = sum(todouble(e.seconds)), times = sum(toint(e.count)) by connector = tostring(e.connector) | where seconds > 600'
  }
]

resource logAlerts 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = [
  for rule in rules: if (which == 'all' || rule.few) {
    name: 'alert-${rule.name}-${token}'
    location: location
    tags: tags
    kind: 'LogAlert'
    properties: {
      displayName: 'Rollcall: ${rule.name}'
      description: rule.text
      enabled: true
      severity: rule.severity
      scopes: [workspaceId]
      evaluationFrequency: rule.every
      windowSize: rule.window
      skipQueryValidation: true
      autoMitigate: false
      criteria: {
        allOf: [
          {
            query: rule.query
            timeAggregation: 'Count'
            operator: 'GreaterThan'
            threshold: 0
            failingPeriods: { numberOfEvaluationPeriods: 1, minFailingPeriodsToAlert: 1 }
          }
        ]
      }
      actions: { actionGroups: [actionGroupId] }
    }
  }
]

resource serverErrors 'Microsoft.Insights/metricAlerts@2018-03-01' = if (which == 'all') {
  name: 'alert-http5xx-${token}'
  location: 'global'
  tags: tags
  properties: {
    description: 'More than ten answers of the API in 15 minutes were 5xx.'
    enabled: true
    severity: 2
    scopes: [site.id]
    evaluationFrequency: 'PT5M'
    windowSize: 'PT15M'
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
      allOf: [
        {
          name: 'Http5xx'
          criterionType: 'StaticThresholdCriterion'
          metricName: 'Http5xx'
          timeAggregation: 'Total'
          operator: 'GreaterThan'
          threshold: 10
        }
      ]
    }
    actions: [{ actionGroupId: actionGroupId }]
  }
}

resource vaultAvailability 'Microsoft.Insights/metricAlerts@2018-03-01' = if (which == 'all') {
  name: 'alert-vault-${token}'
  location: 'global'
  tags: tags
  properties: {
    description: 'The vault answered less than 90 % of its requests.'
    enabled: true
    severity: 1
    scopes: [vault.id]
    evaluationFrequency: 'PT1M'
    windowSize: 'PT5M'
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
      allOf: [
        {
          name: 'Availability'
          criterionType: 'StaticThresholdCriterion'
          metricName: 'Availability'
          timeAggregation: 'Average'
          operator: 'LessThan'
          threshold: 90
        }
      ]
    }
    actions: [{ actionGroupId: actionGroupId }]
  }
}
