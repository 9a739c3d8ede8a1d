// Asks @cloud-copilot/iam-simulate: one simulation a line on standard input, its outcome a line on standard output.
import { createInterface } from 'node:readline'
import { createRequire } from 'node:module'

const { runSimulation } = createRequire(process.env.IAM_SIMULATE + '/')('@cloud-copilot/iam-simulate')

for await (const line of createInterface({ input: process.stdin })) {
  const answer = await runSimulation(JSON.parse(line), {})
  console.log(JSON.stringify({ outcome: answer.overallResult ?? 'error', errors: answer.errors ?? null }))
}
