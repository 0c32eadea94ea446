-- After Redis lost its counters one queen adds what the books say of today, once for each life of Redis.
--
-- KEYS  mark, then the day's quantity of one tenant each
-- ARGV  start of the day in ms, then for each its amount

local DAY_MS = 86400000

if not redis.call('SET', KEYS[1], 1, 'NX') then
  return 0
end

local time = redis.call('TIME')
local left = ARGV[1] + DAY_MS - (time[1] * 1000 + math.floor(time[2] / 1000))
if left <= 0 then
  return 1
end
for i = 2, #KEYS do
  if redis.call('HGET', KEYS[i], 'start') ~= ARGV[1] then
    redis.call('HSET', KEYS[i], 'start', ARGV[1], 'used', 0)
  end
  redis.call('HINCRBY', KEYS[i], 'used', ARGV[i])
  redis.call('PEXPIRE', KEYS[i], left)
end
return 1
