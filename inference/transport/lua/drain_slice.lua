-- A budget slice takes no more tasks, and what is left in it is taken out. What tasks hold comes back later: again then.
--
-- KEYS  slice
--
-- Answers its totals {granted, returned, used by tasks that ended, tasks that hold some of it}.

redis.call('HSET', KEYS[1], 'closed', 1)
local left = tonumber(redis.call('HGET', KEYS[1], 'left') or '0')
if left > 0 then
  redis.call('HINCRBY', KEYS[1], 'returned', string.format('%d', left))
  redis.call('HSET', KEYS[1], 'left', 0)
end
local tasks = 0
for _, name in ipairs(redis.call('HKEYS', KEYS[1])) do
  if string.sub(name, 1, 2) == 't:' then
    tasks = tasks + 1
  end
end
local totals = redis.call('HMGET', KEYS[1], 'granted', 'returned', 'used')
return {tonumber(totals[1] or '0'), tonumber(totals[2] or '0'), tonumber(totals[3] or '0'), tasks}
