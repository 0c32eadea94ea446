-- Who has an Idempotency-Key keeps it for another ARGV[3] ms, naming its task, or gives it up (0).
--
-- KEYS  record of the key
-- ARGV  token of who has it, task, ms

if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] or redis.call('HGET', KEYS[1], 'state') ~= 'running' then
  return 0
end
if ARGV[3] == '0' then
  return redis.call('DEL', KEYS[1])
end
redis.call('HSET', KEYS[1], 'task', ARGV[2])
return redis.call('PEXPIRE', KEYS[1], ARGV[3])
