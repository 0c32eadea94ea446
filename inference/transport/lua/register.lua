-- After Redis lost its counters a queen writes down what it holds, once for each life of Redis.
--
-- KEYS  mark of this queen, then one for each thing held
-- ARGV  lease in ms, then for each: kind (w, d, l), start of its minute or day, amount, task
--
-- Answers 1 when it was written, 0 when it had been before.

local PERIOD_MS = {w = 60000, d = 86400000}

if not redis.call('SET', KEYS[1], 1, 'NX') then
  return 0
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

for i = 2, #KEYS do
  local at = 2 + 4 * (i - 2)
  local kind, start, amount = ARGV[at], tonumber(ARGV[at + 1]), ARGV[at + 2]
  if kind == 'l' then
    redis.call('ZADD', KEYS[i], now + ARGV[1], ARGV[at + 3])
    redis.call('PEXPIRE', KEYS[i], ARGV[1])
  elseif now < start + PERIOD_MS[kind] then
    local known = tonumber(redis.call('HGET', KEYS[i], 'start') or '0')
    if known < start then
      redis.call('HSET', KEYS[i], 'start', start, 'used', amount)
      redis.call('PEXPIRE', KEYS[i], start + PERIOD_MS[kind] - now)
    elseif known == start then
      redis.call('HINCRBY', KEYS[i], 'used', amount)
    end
  end
end
return 1
