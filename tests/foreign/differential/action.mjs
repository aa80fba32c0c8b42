// A JavaScript action that does nothing of its own: what it takes to start, read its inputs, mask and hand over a value.
import { getInput, setOutput, setSecret } from '@actions/core'

const audience = getInput('audience', { required: true })
if (!getInput('scope')) throw new Error('no scope')
setSecret(audience)
setOutput('access-token', audience)
