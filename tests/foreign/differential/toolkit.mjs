// GitHub's own client for the ID token, and the platform's fetch for the exchange.
import { getIDToken } from '@actions/core'

const subject = await getIDToken(process.env.AUDIENCE)
const answer = await fetch(`${process.env.STS}/use/token`, {
  method: 'POST',
  body: new URLSearchParams({
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    scope: process.env.SCOPE,
    subject_token: subject,
    subject_token_type: 'urn:ietf:params:oauth:token-type:id_token'
  })
})
if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`)
const { access_token: token } = await answer.json()
if (!token) throw new Error('no access_token')
console.log(token)
