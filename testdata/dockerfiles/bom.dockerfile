FROM d
RUN npm ci
