-- Takes units of several limits at once: of all that are enforced, or of none.
--
-- KEYS: the count of each limit for one client.
-- ARGV, four for each key: the limit; the length of a slice, in microseconds; how many units; and how:
--   take   if every limit that is to be taken or looked at has room
--   alone  if there is room, whatever the others have
--   look   not at all, the request is refused already; say whether there would have been room
-- Returns four for each key: 1 or 0 for whether there was room; units that are left; microseconds until there is room,
-- and until all units can be had again. A key that was not written has not changed.
--
-- A count is a window as in crates/rate-limiter/src/window.rs, which says what it allows and refuses: the number of the
-- newest slice, then the counts of the 17 slices that a window of 16 touches, slice n at n % 17. It lives until it is
-- empty.

local SLICES, TOUCHED = 16, 17
local FORMAT = '>d' .. string.rep('I4', TOUCHED)
-- In a window as it is unpacked, the newest slice comes first.
local function place(slice) return slice % TOUCHED + 2 end

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

-- The window that `key` holds, as it is now.
local function read(key, length)
    local slice = math.floor(now / length)
    local window = { length = length, slice = slice, into = now - slice * length }
    local packed = redis.call('GET', key)
    if not packed then
        for i = 2, TOUCHED + 1 do window[i] = 0 end
        return window
    end
    local unpacked = { struct.unpack(FORMAT, packed) }
    local newest = unpacked[1]
    for i = 2, TOUCHED + 1 do window[i] = unpacked[i] end
    if slice < newest then
        -- The clock has been set back, or another server's is behind.
        window.slice, window.into = newest, 0
    else
        for gone = math.max(newest + 1, slice - SLICES), slice do window[place(gone)] = 0 end
    end
    return window
end

-- The share of `count` that is still inside when the slice it is from is being left; rounded up.
local function share(window, count)
    return math.ceil(count * (window.length - window.into) / window.length)
end

local function used(window)
    local leaving = window[place(window.slice + 1)]
    local sum = share(window, leaving) - leaving
    for i = 2, TOUCHED + 1 do sum = sum + window[i] end
    return sum
end

-- How long it takes until no more than `most` units are in the window.
local function time_until(window, most)
    local excess, waited = used(window) - most, 0
    for age = 1, TOUCHED do
        if excess <= 0 then break end
        local inside, length = window[place(window.slice + age)], window.length
        if age == 1 then inside, length = share(window, inside), length - window.into end
        if inside >= excess then
            -- Units leave evenly while their slice does.
            return waited + math.ceil(length * excess / inside)
        end
        excess, waited = excess - inside, waited + length
    end
    return waited
end

local asked, refused = {}, false
for i, key in ipairs(KEYS) do
    local at = 4 * (i - 1)
    local limit, units = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 3])
    local window = read(key, tonumber(ARGV[at + 2]))
    local left = math.max(limit - used(window), 0)
    local how, room = ARGV[at + 4], units <= left
    asked[i] = { key = key, limit = limit, units = units, window = window, left = left, how = how, room = room }
    if how == 'look' or how == 'take' and not room then refused = true end
end

local told = {}
for _, ask in ipairs(asked) do
    local window = ask.window
    local takes = ask.room and (ask.how == 'alone' or not refused)
    if takes then
        local at = place(window.slice)
        window[at] = window[at] + ask.units
        ask.left = ask.left - ask.units
        window[1] = window.slice
    end
    local reset = time_until(window, 0)
    if takes then
        local packed = struct.pack(FORMAT, unpack(window, 1, TOUCHED + 1))
        redis.call('SET', ask.key, packed, 'PX', math.max(math.ceil(reset / 1000), 1))
    end
    told[#told + 1] = ask.room and 1 or 0
    told[#told + 1] = ask.left
    told[#told + 1] = ask.room and 0 or time_until(window, ask.limit - ask.units)
    told[#told + 1] = reset
end
return told
