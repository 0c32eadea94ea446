-- Whose is this Idempotency-Key: nobody's yet, another request's that runs, or one's that has ended?
--
-- KEYS  record of the key, its answer
-- ARGV  fingerprint of the request, token of who asks (empty: only look), lease in ms
--
-- Answers {'begun'} when it is now the asker's, {'free'} when it is nobody's and the asker only looks,
--         {'reused', task} for another request under the same key, {'running', task},
--         {'done', task, request id, content type, answer (nil: no longer kept)}.

local known = redis.call('HMGET', KEYS[1], 'fingerprint', 'state', 'task', 'request', 'type')
if not known[1] then
  if ARGV[2] == '' then
    return {'free'}
  end
  redis.call('HSET', KEYS[1], 'fingerprint', ARGV[1], 'state', 'running', 'owner', ARGV[2], 'task', '')
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  return {'begun'}
end
if known[1] ~= ARGV[1] then
  return {'reused', known[3]}
end
if known[2] == 'running' then
  return {'running', known[3]}
end
return {'done', known[3], known[4], known[5], redis.call('GET', KEYS[2])}
