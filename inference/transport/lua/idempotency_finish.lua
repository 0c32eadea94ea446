-- A request under an Idempotency-Key has its answer: keep the outcome, and the answer while there is room for it.
--
-- KEYS  record of the key, its answer, then two for each bound: bytes kept in this span of time, in the one before
-- ARGV  token of who had it, fingerprint, task, request id, content type, how long the outcome is kept in ms,
--       how long the answer is kept in ms (0: not at all), answer, then for each bound: bytes
--
-- Answers 1 when the answer is kept, 0 when only the outcome is, -1 when the key is another's by now.

local owner = redis.call('HGET', KEYS[1], 'owner')
if owner and owner ~= ARGV[1] then
  return -1
end
redis.call('HSET', KEYS[1], 'fingerprint', ARGV[2], 'state', 'done', 'owner', ARGV[1], 'task', ARGV[3],
           'request', ARGV[4], 'type', ARGV[5])
redis.call('PEXPIRE', KEYS[1], ARGV[6])

local answer_ms, size = tonumber(ARGV[7]), #ARGV[8]
if answer_ms == 0 then
  return 0
end
for i = 3, #KEYS, 2 do
  local kept = tonumber(redis.call('GET', KEYS[i]) or '0') + tonumber(redis.call('GET', KEYS[i + 1]) or '0')
  if kept + size > tonumber(ARGV[9 + (i - 3) / 2]) then
    return 0
  end
end
for i = 3, #KEYS, 2 do
  redis.call('INCRBY', KEYS[i], size)
  redis.call('PEXPIRE', KEYS[i], 2 * answer_ms)
end
redis.call('SET', KEYS[2], ARGV[8], 'PX', answer_ms)
return 1
